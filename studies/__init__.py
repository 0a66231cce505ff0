"""Programs that write the documentation's figures and tables; they use the library, which never uses them."""
