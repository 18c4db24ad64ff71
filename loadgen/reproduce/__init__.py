"""The published studies run again in virtual time, beside ours: each study is a folder, its findings become one report."""
