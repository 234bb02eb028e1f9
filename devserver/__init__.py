"""The whole product on one machine: embedded servers, processes, seed, mail catcher, demonstration."""
