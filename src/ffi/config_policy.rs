//! Config: what to do when something has to give.

use super::config::change;
use super::result::aliot_result;
use super::types::{
    aliot_config, aliot_outbox_policy_raw, aliot_take_over_policy_raw, outbox_policy,
    take_over_policy,
};

/// What happens when the outbox is full. Default ALIOT_OUTBOX_POLICY_REFUSE_NEW.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `policy` is not a value of aliot_outbox_policy.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_outbox_policy(
    config: *mut aliot_config,
    policy: aliot_outbox_policy_raw,
) -> aliot_result {
    change(config, |config| {
        config.set_outbox_policy(outbox_policy(policy)?);
        Ok(())
    })
}

/// What happens when another connection with the same identity takes over. Default
/// ALIOT_TAKE_OVER_POLICY_WAIT.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT if `policy` is not a value of aliot_take_over_policy.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_take_over_policy(
    config: *mut aliot_config,
    policy: aliot_take_over_policy_raw,
) -> aliot_result {
    change(config, |config| {
        config.set_take_over_policy(take_over_policy(policy)?);
        Ok(())
    })
}

/// Sends no more than the platform takes from one device, 30 messages of QoS 0 and 10 of QoS 1 a
/// second: what exceeds that it drops in silence. Off by default, because the limits of an instance
/// can be raised.
///
/// Source: the platform's page on limits.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_use_platform_rates(config: *mut aliot_config) -> aliot_result {
    change(config, |config| {
        config.use_platform_rates();
        Ok(())
    })
}

/// Sends at most so many messages of QoS 0 and of QoS 1 a second: 1..10000 each, or 0 for any
/// number, which is the default. What waits counts against the outbox. Because messages are late by
/// turns on their way, what follows a burst of so many leaves 1.1 s after it: in the long run the
/// rate is a tenth lower.
///
/// # Errors
///
/// ALIOT_RESULT_INVALID_ARGUMENT outside that range.
#[unsafe(no_mangle)]
pub extern "C" fn aliot_config_set_rates(
    config: *mut aliot_config,
    qos_0_per_second: u32,
    qos_1_per_second: u32,
) -> aliot_result {
    let limit = |rate: u32| (rate != 0).then_some(rate);
    change(config, |config| {
        Ok(config.set_rates(limit(qos_0_per_second), limit(qos_1_per_second))?)
    })
}
