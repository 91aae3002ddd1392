"""The engine `dynamo`."""
