"""`python -m stream_infer` is `stream-infer`."""

from stream_infer.cli.app import main

main()
