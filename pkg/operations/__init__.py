"""Operations: promotes, rollbacks and stops as intents with an outcome of their own."""
