//! One value of a row, from the server's binary form to JSON; and one parameter, as the text that the server reads.
//!
//! Must not guess: a type that it does not know is an error that says how to ask for it. Invariant: no number of the server's is trusted before it is
//! checked.

use std::error::Error;

use bytes::BytesMut;
use serde_json::{Number, Value, json};
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

/// Microseconds from 1970 to 2000, from which the server counts.
const EPOCH: i64 = 946_684_800_000_000;
/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;
/// How deep arrays may be.
const DEEPEST: i32 = 6;

type Wrong = Box<dyn Error + Sync + Send>;

/// A value as JSON.
#[derive(Debug)]
pub(super) struct Cell(pub(super) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Wrong> {
        decode(kind, raw).map(Self)
    }

    fn from_sql_null(_: &Type) -> Result<Self, Wrong> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn exactly<const N: usize>(raw: &[u8]) -> Result<[u8; N], Wrong> {
    raw.try_into().map_err(|_| "a value of another length than its type has".into())
}

fn text(raw: &[u8]) -> Result<Value, Wrong> {
    Ok(json!(std::str::from_utf8(raw)?))
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| json!(number.to_string()), Value::Number)
}

fn decode(kind: &Type, raw: &[u8]) -> Result<Value, Wrong> {
    Ok(match kind.kind() {
        Kind::Domain(inner) => decode(inner, raw)?,
        Kind::Enum(_) => text(raw)?,
        Kind::Array(inner) => array(inner, raw)?,
        _ => match *kind {
            Type::BOOL => json!(exactly::<1>(raw)? != [0]),
            Type::INT2 => json!(i16::from_be_bytes(exactly(raw)?)),
            Type::INT4 => json!(i32::from_be_bytes(exactly(raw)?)),
            Type::INT8 => json!(i64::from_be_bytes(exactly(raw)?)),
            Type::OID | Type::XID | Type::CID => json!(u32::from_be_bytes(exactly(raw)?)),
            Type::XID8 => json!(u64::from_be_bytes(exactly(raw)?)),
            Type::FLOAT4 => f32::from_be_bytes(exactly(raw)?).to_string().parse().map_or(Value::Null, float),
            Type::FLOAT8 => float(f64::from_be_bytes(exactly(raw)?)),
            Type::NUMERIC => numeric(raw)?,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML => text(raw)?,
            Type::CHAR => json!(char::from(exactly::<1>(raw)?[0]).to_string()),
            Type::JSON => serde_json::from_slice(raw)?,
            Type::JSONB => match raw {
                [1, rest @ ..] => serde_json::from_slice(rest)?,
                _ => return Err("a jsonb of a version that is not known".into()),
            },
            Type::UUID => json!(uuid::Uuid::from_bytes(exactly(raw)?).to_string()),
            Type::BYTEA => json!(raw.iter().fold("\\x".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))),
            Type::TIMESTAMPTZ => timestamp(raw)?,
            Type::TIMESTAMP => match timestamp(raw)? {
                Value::String(text) => json!(text.trim_end_matches('Z')),
                other => other,
            },
            Type::DATE => date(raw)?,
            Type::TIME => time(i64::from_be_bytes(exactly(raw)?))?,
            Type::INTERVAL => interval(raw)?,
            Type::INET | Type::CIDR => inet(raw)?,
            Type::VOID => Value::Null,
            _ if kind.name() == "citext" => text(raw)?,
            _ => return Err(format!("its type {} is not read: select it as text, `COLUMN::text`", kind.name()).into()),
        },
    })
}

fn timestamp(raw: &[u8]) -> Result<Value, Wrong> {
    let micros = i64::from_be_bytes(exactly(raw)?);
    match micros {
        i64::MAX => return Ok(json!("infinity")),
        i64::MIN => return Ok(json!("-infinity")),
        _ => {}
    }
    let since = micros.checked_add(EPOCH).ok_or("a time out of range")?;
    Ok(json!(jiff::Timestamp::from_microsecond(since)?.to_string()))
}

fn date(raw: &[u8]) -> Result<Value, Wrong> {
    let days = i32::from_be_bytes(exactly(raw)?);
    match days {
        i32::MAX => return Ok(json!("infinity")),
        i32::MIN => return Ok(json!("-infinity")),
        _ => {}
    }
    let since = days.checked_add(EPOCH_DAYS).ok_or("a date out of range")?;
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(since)?)?;
    Ok(json!(date.to_string()))
}

fn time(micros: i64) -> Result<Value, Wrong> {
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    if !(0..=86_400).contains(&seconds) {
        return Err("a time of day out of range".into());
    }
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}") };
    Ok(json!(format!("{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)))
}

/// As ISO 8601 has it: `P1M2DT3.5S`.
fn interval(raw: &[u8]) -> Result<Value, Wrong> {
    let bytes: [u8; 16] = exactly(raw)?;
    let (micros, rest) = bytes.split_first_chunk::<8>().ok_or("an interval too short")?;
    let (days, months) = rest.split_first_chunk::<4>().ok_or("an interval too short")?;
    let (micros, days, months) = (i64::from_be_bytes(*micros), i32::from_be_bytes(*days), i32::from_be_bytes(exactly(months)?));
    let mut text = "P".to_owned();
    if months != 0 {
        text.push_str(&format!("{months}M"));
    }
    if days != 0 {
        text.push_str(&format!("{days}D"));
    }
    if micros != 0 || text == "P" {
        let (whole, rest) = (micros / 1_000_000, (micros % 1_000_000).unsigned_abs());
        let sign = if micros < 0 { "-" } else { "" };
        let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}").trim_end_matches('0').to_owned() };
        text.push_str(&format!("T{sign}{}{fraction}S", whole.unsigned_abs()));
    }
    Ok(json!(text))
}

fn inet(raw: &[u8]) -> Result<Value, Wrong> {
    let [_, bits, is_cidr, _, address @ ..] = raw else { return Err("an address too short".into()) };
    let (address, whole): (std::net::IpAddr, u8) = match address.len() {
        4 => (std::net::IpAddr::from(exactly::<4>(address)?), 32),
        16 => (std::net::IpAddr::from(exactly::<16>(address)?), 128),
        _ => return Err("an address of a family that is not known".into()),
    };
    Ok(if *bits == whole && *is_cidr == 0 { json!(address.to_string()) } else { json!(format!("{address}/{bits}")) })
}

/// A number where JSON holds it exactly: at most 15 digits, or a whole one of 64 bits; else its text.
fn numeric(raw: &[u8]) -> Result<Value, Wrong> {
    let shorts = raw.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect::<Vec<_>>();
    let [count, weight, sign, scale, digits @ ..] = shorts.as_slice() else { return Err("a numeric too short".into()) };
    match *sign as u16 {
        0xC000 => return Ok(json!("NaN")),
        0xD000 => return Ok(json!("Infinity")),
        0xF000 => return Ok(json!("-Infinity")),
        _ => {}
    }
    if usize::try_from(*count) != Ok(digits.len()) || digits.iter().any(|digit| !(0..10_000).contains(digit)) {
        return Err("a numeric that is broken".into());
    }
    let group = |at: i32| usize::try_from(at).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    let (weight, scale) = (i32::from(*weight), usize::try_from(*scale).unwrap_or(0));
    let mut text = (0..=weight.max(-1)).map(|at| format!("{:04}", group(at))).collect::<String>().trim_start_matches('0').to_owned();
    if text.is_empty() {
        text.push('0');
    }
    if scale > 0 {
        let groups = i32::try_from(scale.div_ceil(4)).unwrap_or(0);
        let fraction: String = (weight + 1..=weight + groups).map(|at| format!("{:04}", group(at))).collect();
        text.push('.');
        text.push_str(fraction.get(..scale).unwrap_or(&fraction));
    }
    if *sign as u16 == 0x4000 {
        text.insert(0, '-');
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(json!(whole));
    }
    let figures = text.chars().filter(char::is_ascii_digit).collect::<String>().trim_start_matches('0').len();
    Ok(match text.parse() {
        Ok(number) if figures <= 15 => float(number),
        _ => json!(text),
    })
}

fn array(inner: &Type, raw: &[u8]) -> Result<Value, Wrong> {
    let mut rest = raw;
    let mut next = || -> Result<i32, Wrong> {
        let (number, after) = rest.split_first_chunk::<4>().ok_or("an array too short")?;
        rest = after;
        Ok(i32::from_be_bytes(*number))
    };
    let dimensions = next()?;
    let (_, _) = (next()?, next()?);
    if !(0..=DEEPEST).contains(&dimensions) {
        return Err("an array of too many dimensions".into());
    }
    let mut sizes = Vec::new();
    for _ in 0..dimensions {
        sizes.push(usize::try_from(next()?)?);
        next()?;
    }
    if sizes.is_empty() {
        return Ok(json!([]));
    }
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or("an array too short")?;
        let length = i32::from_be_bytes(*length);
        if length < 0 {
            items.push(Value::Null);
            rest = after;
            continue;
        }
        let (item, after) = after.split_at_checked(usize::try_from(length)?).ok_or("an array too short")?;
        items.push(decode(inner, item)?);
        rest = after;
    }
    // From the innermost dimension outwards.
    for size in sizes.iter().skip(1).rev() {
        items = items.chunks((*size).max(1)).map(|chunk| json!(chunk)).collect();
    }
    Ok(json!(items))
}

/// A parameter: the server reads it as a literal of the type that it has in the statement.
#[derive(Debug)]
pub(super) struct Parameter<'v>(pub(super) &'v Value);

impl ToSql for Parameter<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Wrong> {
        if self.0.is_null() {
            return Ok(IsNull::Yes);
        }
        let is_json = [Type::JSON, Type::JSONB].contains(kind);
        let text = match self.0 {
            value if is_json => value.to_string(),
            Value::String(text) => text.clone(),
            Value::Array(items) => literal(items),
            other => other.to_string(),
        };
        if text.contains('\0') {
            return Err("a zero byte, which PostgreSQL keeps in no text".into());
        }
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// `{1,NULL,"a b"}`
fn literal(items: &[Value]) -> String {
    let one = |item: &Value| match item {
        Value::Null => "NULL".to_owned(),
        Value::Array(items) => literal(items),
        Value::String(text) => quoted(text),
        Value::Object(_) => quoted(&item.to_string()),
        other => other.to_string(),
    };
    format!("{{{}}}", items.iter().map(one).collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Type, raw: &[u8]) -> Value {
        decode(&kind, raw).unwrap()
    }

    #[test]
    fn values_become_json() {
        assert_eq!(of(Type::BOOL, &[1]), json!(true));
        assert_eq!(of(Type::INT8, &(-5_i64).to_be_bytes()), json!(-5));
        assert_eq!(of(Type::FLOAT4, &0.1_f32.to_be_bytes()), json!(0.1));
        assert_eq!(of(Type::FLOAT8, &f64::NAN.to_be_bytes()), json!("NaN"));
        assert_eq!(of(Type::TIMESTAMPTZ, &0_i64.to_be_bytes()), json!("2000-01-01T00:00:00Z"));
        assert_eq!(of(Type::TIMESTAMP, &1_500_000_i64.to_be_bytes()), json!("2000-01-01T00:00:01.5"));
        assert_eq!(of(Type::DATE, &(-1_i32).to_be_bytes()), json!("1999-12-31"));
        assert_eq!(of(Type::TIME, &3_723_000_001_i64.to_be_bytes()), json!("01:02:03.000001"));
        assert_eq!(of(Type::INET, &[2, 32, 0, 4, 10, 0, 0, 1]), json!("10.0.0.1"));
        assert_eq!(of(Type::CIDR, &[2, 8, 1, 4, 10, 0, 0, 0]), json!("10.0.0.0/8"));
        assert_eq!(of(Type::JSONB, b"\x01{\"a\":1}"), json!({ "a": 1 }));
        assert_eq!(of(Type::BYTEA, &[0xde, 0xad]), json!("\\xdead"));
        assert!(decode(&Type::POINT, &[0; 16]).unwrap_err().to_string().contains("::text"));
        assert!(decode(&Type::INT4, &[0]).is_err());
    }

    #[test]
    fn a_numeric_is_a_number_where_json_holds_it() {
        let bytes = |shorts: &[i16]| shorts.iter().flat_map(|short| short.to_be_bytes()).collect::<Vec<u8>>();
        for (shorts, wanted) in [
            (vec![1, 0, 0, 0, 12], json!(12)),
            (vec![0, 0, 0, 0], json!(0)),
            (vec![2, 0, 0, 2, 12, 3400], json!(12.34)),
            (vec![1, -1, 0x4000, 4, 5], json!(-0.0005)),
            (vec![1, 1, 0, 0, 3], json!(30_000)),
            (vec![1, 5, 0, 0, 1], json!("100000000000000000000")),
            (vec![0, 0, -16_384, 0], json!("NaN")),
        ] {
            assert_eq!(of(Type::NUMERIC, &bytes(&shorts)), wanted, "{shorts:?}");
        }
        assert!(decode(&Type::NUMERIC, &bytes(&[3, 0, 0, 0, 1])).is_err());
    }

    #[test]
    fn arrays_nest() {
        let ints = |numbers: &[i32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
        let flat = ints(&[1, 0, 23, 2, 1, 4, 7, -1]);
        assert_eq!(of(Type::INT4_ARRAY, &flat), json!([7, null]));
        let nested = ints(&[2, 0, 23, 2, 1, 2, 1, 4, 1, 4, 2, 4, 3, 4, 4]);
        assert_eq!(of(Type::INT4_ARRAY, &nested), json!([[1, 2], [3, 4]]));
        assert_eq!(of(Type::INT4_ARRAY, &ints(&[0, 0, 23])), json!([]));
        assert!(decode(&Type::INT4_ARRAY, &ints(&[99, 0, 23])).is_err());
    }

    #[test]
    fn a_parameter_is_never_more_than_a_literal() {
        let sent = |value: Value, kind: Type| {
            let mut out = BytesMut::new();
            Parameter(&value).to_sql(&kind, &mut out).unwrap();
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(sent(json!("'; DROP TABLE t; --"), Type::TEXT), "'; DROP TABLE t; --", "it goes beside the statement, not into it");
        assert_eq!(sent(json!(12), Type::INT8), "12");
        assert_eq!(sent(json!({ "a": "b" }), Type::JSONB), "{\"a\":\"b\"}");
        assert_eq!(sent(json!(["a\"b", null, "c,d"]), Type::TEXT_ARRAY), r#"{"a\"b",NULL,"c,d"}"#);
        assert!(matches!(Parameter(&Value::Null).to_sql(&Type::TEXT, &mut BytesMut::new()).unwrap(), IsNull::Yes));
    }
}
