//! The hours of the day in which old files are deleted (`deleteWhen`): `04`, or several as `02;04`.

use std::{fmt, str::FromStr};

/// A set of hours, 0 to 23.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteWhen(u32);

/// A text that names no hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hours of the day, 0 to 23, several separated by ;")]
pub struct NotHours;

impl DeleteWhen {
    /// One hour; those beyond 23 begin anew at 0.
    pub const fn hour(hour: u32) -> DeleteWhen {
        DeleteWhen(1 << (hour % 24))
    }

    /// Whether this hour is one of them.
    pub const fn has(self, hour: u32) -> bool {
        hour < 24 && self.0 & (1 << hour) != 0
    }
}

impl FromStr for DeleteWhen {
    type Err = NotHours;

    fn from_str(text: &str) -> Result<DeleteWhen, NotHours> {
        let mut hours = 0;
        for hour in text.split(';').map(str::trim).filter(|hour| !hour.is_empty()) {
            let hour: u32 = hour.parse().ok().filter(|hour| *hour < 24).ok_or(NotHours)?;
            hours |= 1 << hour;
        }
        if hours == 0 { Err(NotHours) } else { Ok(DeleteWhen(hours)) }
    }
}

impl fmt::Display for DeleteWhen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for hour in (0..24).filter(|hour| self.has(*hour)) {
            write!(formatter, "{separator}{hour:02}")?;
            separator = ";";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_as_apache_writes_them() {
        let read = |text: &str| text.parse::<DeleteWhen>().map(|hours| hours.to_string());
        assert_eq!(read("04").as_deref(), Ok("04"));
        assert_eq!(read("4"), read("04"));
        assert_eq!(read("23; 2;02;").as_deref(), Ok("02;23"));
        for wrong in ["", ";", "24", "-1", "four", "2,4", "04:00"] {
            assert_eq!(read(wrong), Err(NotHours), "{wrong}");
        }
        let both: DeleteWhen = "02;04".parse().expect("hours");
        assert_eq!((0..30).filter(|hour| both.has(*hour)).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(DeleteWhen::hour(28), DeleteWhen::hour(4));
    }
}
