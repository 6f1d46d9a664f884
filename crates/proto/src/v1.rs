//! Messages and services generated from `proto/muster.proto`.
#![allow(missing_docs, clippy::all, reason = "generated code")]

tonic::include_proto!("muster.v1");
