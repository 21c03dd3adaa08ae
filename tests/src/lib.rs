//! Whole-pipeline, crash, hostile and Kafka tests; benches
