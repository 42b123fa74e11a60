"""DomainService: domains of users, the records that they need, and what DNS says about them."""
