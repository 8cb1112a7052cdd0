"""What is written by hand of the commands of operations, in a module named as the operations'."""
