"""What goes beside an exported graph: a script and a page that use it without seefit."""
