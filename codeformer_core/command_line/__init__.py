"""The command line: arguments, commands, batches of files, reports."""
