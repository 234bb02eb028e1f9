"""The whole product on one machine: embedded servers, processes, seed data, mail catcher, demonstration."""
