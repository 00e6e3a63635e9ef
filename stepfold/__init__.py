"""stepfold: LLM agents for customer support as an event log on NATS JetStream."""

__version__ = "0.1.0"
