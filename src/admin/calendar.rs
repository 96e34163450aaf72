//! Days as dates; shared with `build.rs`.

/// Year, month and day of the month, both from 1 on, of a day that is so many after the first of 1970.
pub fn date(days: i64) -> (i64, i64, i64) {
    // The calendar repeats every 400 years of 146,097 days; a year is taken to begin in March, so that a leap day is
    // its last.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}
