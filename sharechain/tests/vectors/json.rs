//! Just enough JSON to write the vectors: objects keep their order, numbers are whole, hashes are hexadecimal text.

use core::fmt::Write;

/// A JSON value.
pub(crate) enum Json {
    Text(String),
    Number(u64),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

/// Bytes as hexadecimal text, in the order in which they stand.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> Json {
    let mut text = String::new();
    for byte in bytes.as_ref() {
        write!(text, "{byte:02x}").expect("a String takes all");
    }
    Json::Text(text)
}

/// A number that may be too large for a reader of JSON, as decimal text.
pub(crate) fn big(number: impl core::fmt::Display) -> Json {
    Json::Text(number.to_string())
}

/// A compact target.
pub(crate) fn bits(bits: u32) -> Json {
    Json::Text(format!("{bits:08x}"))
}

/// A number.
pub(crate) fn number(n: impl Into<u64>) -> Json {
    Json::Number(n.into())
}

/// A list.
pub(crate) fn list(items: impl IntoIterator<Item = Json>) -> Json {
    Json::List(items.into_iter().collect())
}

impl Json {
    /// The whole document, two spaces a level; what fits on a line stays on it.
    pub(crate) fn document(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out.push('\n');
        out
    }

    fn flat(&self) -> String {
        match self {
            Self::Text(text) => format!("\"{text}\""),
            Self::Number(n) => n.to_string(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::flat).collect::<Vec<_>>().join(", "))
            }
            Self::Object(items) => {
                let items: Vec<_> =
                    items.iter().map(|(key, item)| format!("\"{key}\": {}", item.flat())).collect();
                format!("{{{}}}", items.join(", "))
            }
        }
    }

    fn write(&self, out: &mut String, depth: usize) {
        let flat = self.flat();
        let (open, close, items): (_, _, Vec<_>) = match self {
            _ if flat.len() < 140 => return out.push_str(&flat),
            Self::Text(_) | Self::Number(_) => return out.push_str(&flat),
            Self::List(items) => ('[', ']', items.iter().map(|item| (None, item)).collect()),
            Self::Object(items) => ('{', '}', items.iter().map(|(key, item)| (Some(key), item)).collect()),
        };
        out.push(open);
        for (n, (key, item)) in items.into_iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(out, "{comma}\n{:1$}", "", 2 * (depth + 1)).expect("a String takes all");
            if let Some(key) = key {
                write!(out, "\"{key}\": ").expect("a String takes all");
            }
            item.write(out, depth + 1);
        }
        write!(out, "\n{:1$}", "", 2 * depth).expect("a String takes all");
        out.push(close);
    }
}
