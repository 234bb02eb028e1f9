"""How each root field is answered: who may, what the domain does, what the client gets."""
