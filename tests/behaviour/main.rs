//! Behaviour through the Rust API: against a scripted broker, the simulator and a real mosquitto.

mod against_libmosquitto;
mod against_mosquitto;
mod against_simulator;
mod backpressure;
mod connect;
mod doors;
mod publish;
#[path = "../faults/ran.rs"]
mod ran;
mod reconnect;
mod registration;
mod scenarios;
mod subscribe;
mod support;
