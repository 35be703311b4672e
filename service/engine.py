"""The only module that imports dbos: steps, queues, retries."""
