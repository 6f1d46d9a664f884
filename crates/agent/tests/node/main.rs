//! The whole agent with a real supervisor and real processes, against a controller played by the test.

mod controller;
mod jobs;
mod node;

mod batch;
mod ending;
mod moves;
mod output;
mod restart;
mod steps;
mod throughput;
