"""The interoperability test: third-party RocketMQ clients against the real `mqnamesrv` and `mqbroker`."""
