//! The casts between scalars (`IntegerCodec`, `LongCodec`, `BooleanCodec`, `StringCodec`, and `TypeUtils.castTo…`).
//!
//! Each gives `Ok(None)` for what fastjson reads as null: the member then keeps its default.

use std::borrow::Cow;

/// A value that is neither list nor object.
#[derive(Debug)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// As it is written, without the letter that Java puts behind a literal.
    Number(&'a str),
    Text(Cow<'a, str>),
}

/// A cast's result; the error says what the value must be.
pub(super) type Cast<T> = Result<Option<T>, &'static str>;

const INTEGER: &str = "a whole number";

/// Whether a text stands for null wherever no text is wanted.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "null" | "NULL")
}

fn without_commas(text: &str) -> Cow<'_, str> {
    if text.contains(',') { text.replace(',', "").into() } else { text.into() }
}

/// As an `int`.
pub(super) fn to_int(scalar: &Scalar<'_>) -> Cast<i32> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Bool(bool) => Ok(Some(i32::from(*bool))),
        Scalar::Number(number) => match number.parse() {
            Ok(number) => Ok(Some(number)),
            // BigDecimal.intValue() keeps the low 32 bits.
            Err(_) => truncated(number).map(|whole| Some(whole as i32)).ok_or("a 32-bit whole number"),
        },
        Scalar::Text(text) if is_null(text) => Ok(None),
        Scalar::Text(text) => {
            let text = without_commas(text);
            let zeros = text.trim_end_matches('0');
            let text = zeros.strip_suffix('.').unwrap_or(&text);
            text.parse().map(Some).map_err(|_| "a 32-bit whole number")
        }
    }
}

/// As a `long`.
pub(super) fn to_long(scalar: &Scalar<'_>) -> Cast<i64> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Bool(_) => Err(INTEGER),
        Scalar::Number(number) => match number.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => truncated(number).map(|whole| Some(whole as i64)).ok_or("a 64-bit whole number"),
        },
        Scalar::Text(text) if is_null(text) => Ok(None),
        Scalar::Text(text) => {
            let text = without_commas(text);
            text.parse().ok().or_else(|| date_ms(&text)).map(Some).ok_or("a 64-bit whole number, or a date")
        }
    }
}

/// As a `double`.
pub(super) fn to_double(scalar: &Scalar<'_>) -> Cast<f64> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Bool(_) => Err("a number"),
        Scalar::Number(number) => number.parse().map(Some).map_err(|_| "a number"),
        Scalar::Text(text) if is_null(text) => Ok(None),
        Scalar::Text(text) => without_commas(text).parse().map(Some).map_err(|_| "a number"),
    }
}

/// As a `boolean`.
pub(super) fn to_bool(scalar: &Scalar<'_>) -> Cast<bool> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Bool(bool) => Ok(Some(*bool)),
        Scalar::Number(_) => to_int(scalar).map(|number| number.map(|number| number == 1)),
        Scalar::Text(text) if is_null(text) => Ok(None),
        Scalar::Text(text) => {
            // Not all of them in any case: so it is there.
            let is = |word: &str| text.eq_ignore_ascii_case(word);
            if is("true") || is("Y") || matches!(&**text, "1" | "T") {
                Ok(Some(true))
            } else if is("false") || is("F") || matches!(&**text, "0" | "N") {
                Ok(Some(false))
            } else {
                Err("true or false")
            }
        }
    }
}

/// A number with a fraction or an exponent, without its fraction. `None` for one that is whole but too long.
fn truncated(number: &str) -> Option<i128> {
    if !number.contains(['.', 'e', 'E']) {
        return None;
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().ok()?;
    let (sign, whole) = match whole.strip_prefix('-') {
        Some(whole) => (-1, whole),
        None => (1, whole.strip_prefix('+').unwrap_or(whole)),
    };
    // How many digits stand before the point once the exponent has moved it; more than 38 do not fit anyway.
    let before_point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.clamp(0, 40) as usize;
    let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat(b'0')).take(before_point);
    let mut value: i128 = 0;
    for digit in digits {
        let digit = char::from(digit).to_digit(10)?;
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    Some(sign * value)
}

/// A number as `BigDecimal.toString()` writes it, which matters for those with an exponent.
pub(super) fn as_java_writes(number: &str) -> Cow<'_, str> {
    let plain = || Cow::Borrowed(number);
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else { return plain() };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |mantissa| ("-", mantissa));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let Ok(exponent) = exponent.parse::<i64>() else { return plain() };
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    let scale = fraction.len() as i64 - exponent;
    let adjusted = digits.len() as i64 - 1 - scale;
    if scale == 0 {
        return format!("{sign}{digits}").into();
    }
    if scale > 0 && adjusted >= -6 {
        let padded = format!("{digits:0>width$}", width = scale as usize + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale as usize);
        return format!("{sign}{whole}.{fraction}").into();
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{adjusted:+}").into()
}

/// The time of a date in ISO 8601, in ms; one without a zone is in UTC.
fn date_ms(text: &str) -> Option<i64> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
}
