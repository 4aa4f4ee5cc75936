"""What the tests of the frameworks run is no test itself, and imports what may not be there."""

collect_ignore_glob = ["*_programs.py", "lightning_ddp.py"]
