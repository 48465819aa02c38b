//! Quality of service: the two levels that the platform has.

use crate::Error;

/// How a message is delivered. The platform has no QoS 2.
///
/// Source: MQTT 3.1.1, 4.3; the platform's MQTT protocol support.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Qos {
    /// QoS 0: sent once, never acknowledged, lost with the connection.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: held until acknowledged; may arrive more than once.
    AtLeastOnce = 1,
}

impl TryFrom<u8> for Qos {
    type Error = Error;

    /// Reads the number of a QoS.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) unless `value` is 0 or 1.
    fn try_from(value: u8) -> Result<Self, Error> {
        match value {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            _ => Err(Error::argument(
                "qos",
                format_args!("is {value}: the platform has 0 and 1"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_qos_0_and_1_exist() {
        assert_eq!(Qos::try_from(0), Ok(Qos::AtMostOnce));
        assert_eq!(Qos::try_from(1), Ok(Qos::AtLeastOnce));
        let error = Qos::try_from(2).unwrap_err();
        assert_eq!(error.to_string(), "qos is 2: the platform has 0 and 1");
    }

    #[test]
    fn the_higher_qos_is_the_greater_one() {
        assert!(Qos::AtLeastOnce > Qos::AtMostOnce);
    }
}
