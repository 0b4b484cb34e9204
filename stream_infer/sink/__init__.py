"""Results and dead letters to the object store, exactly once; finalizes jobs.

The way of a record: records, buffers, flush, upload, writer. That of a job: backlog, manifests, assembly, finalizer.
"""
