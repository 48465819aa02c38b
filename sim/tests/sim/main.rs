//! The simulator seen from outside: by a client written by hand, by foreign clients, by a shell, by a
//! browser.

mod api;
mod browser;
mod conformance;
mod connections;
mod crowd;
mod device;
mod faults;
mod foreign;
mod fuzz;
mod http;
mod messages;
mod mosquitto;
mod platform;
mod program;
mod refusals;
mod registration;
mod signatures;
mod startup;
mod state_file;
mod upgrades;
mod webdriver;
