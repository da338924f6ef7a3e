"""Where and how things are computed: devices, threads, streams of rows."""
