"""What is wrong, and what is to be done about it: findings, refusals, the verdict."""
