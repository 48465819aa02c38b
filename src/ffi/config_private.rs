//! Config: limits that a private platform may have other than the public one.

use super::config::{change, milliseconds};
use super::result::aliot_result;
use super::types::aliot_config;

/// Replaces the platform's limits by MQTT's own, for a private platform or a test bench; each then
/// has a setter. What was set before stays.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_use_private_profile(config: *mut aliot_config) -> aliot_result {
    change(config, |config| {
        config.use_private_profile();
        Ok(())
    })
}

/// Longest payload in bytes: up to what outbox and inbox have room for, which is the default.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_STATE without aliot_config_use_private_profile;
/// ALIOT_RESULT_INVALID_ARGUMENT beyond that.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_payload_limit(
    config: *mut aliot_config,
    bytes: usize,
) -> aliot_result {
    change(config, |config| Ok(config.set_payload_limit(bytes)?))
}

/// Longest topic or filter in bytes: 1..65535, which is the default. Outbox and inbox must have room
/// for it beside the payload limit, if that was set: the maximum is lower where they have not.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_STATE without aliot_config_use_private_profile;
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_topic_limit(
    config: *mut aliot_config,
    bytes: usize,
) -> aliot_result {
    change(config, |config| Ok(config.set_topic_limit(bytes)?))
}

/// Most subscriptions at a time: at least 1. Default: any number.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_STATE without aliot_config_use_private_profile;
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_subscription_limit(
    config: *mut aliot_config,
    subscriptions: usize,
) -> aliot_result {
    change(config, |config| {
        Ok(config.set_subscription_limit(subscriptions)?)
    })
}

/// Most filters in one SUBSCRIBE: 1..4095, which is the default.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_STATE without aliot_config_use_private_profile;
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_filters_per_packet(
    config: *mut aliot_config,
    filters: usize,
) -> aliot_result {
    change(config, |config| Ok(config.set_filters_per_packet(filters)?))
}

/// How long a connection must hold before the delay between attempts starts over: 0..3600000,
/// default 60000.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_STATE without aliot_config_use_private_profile;
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_stable_after_ms(
    config: *mut aliot_config,
    time_ms: u32,
) -> aliot_result {
    change(config, |config| {
        Ok(config.set_stable_after(milliseconds(time_ms))?)
    })
}
