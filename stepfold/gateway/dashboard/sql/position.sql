-- Where the views are in the log.
SELECT position FROM _log.checkpoint
