"""What SageMaker's clients ask of the gateway: transform jobs and models, over HTTP and by AWS's own protocol."""
