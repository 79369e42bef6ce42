//! The document of the interface against the interface: every address of it is asked, and every answer is as it says.

use super::network::served_on;
use super::raw::{ask, body, raw, status};
use crate::support::rig::{Rig, owner};
use commonwork::address::address_of;
use serde_json::Value;

/// Whether a value is as a schema says; else where it is not, and why.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let wrong = |why: String| Err(format!("{at}: {why}"));
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.strip_prefix("#/components/schemas/").expect("a reference of this document");
        let named = &document["components"]["schemas"][name];
        assert!(named.is_object(), "{name} is not in the document");
        return check(document, named, value, at);
    }
    for key in schema.as_object().expect("a schema").keys() {
        const KNOWN: &[&str] = &[
            "type",
            "format",
            "minimum",
            "pattern",
            "description",
            "properties",
            "required",
            "items",
            "enum",
            "oneOf",
            "allOf",
            "additionalProperties",
            "const",
            "default",
        ];
        assert!(KNOWN.contains(&key.as_str()), "{at}: this test does not know {key:?}");
    }
    if let Some(all) = schema["allOf"].as_array() {
        all.iter().try_for_each(|part| check(document, part, value, at))?;
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|choice| check(document, choice, value, at).is_ok()).count();
        if fitting != 1 {
            return wrong(format!("{fitting} of {} choices fit {value}", choices.len()));
        }
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        return wrong(format!("{value} is not one of {choices:?}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_number = kind == "integer" && types.contains(&"number");
    if !is_number && !types.contains(&kind) {
        return wrong(format!("{value} is no {types:?}"));
    }
    match value {
        Value::Number(number) => {
            if schema["minimum"].as_f64().is_some_and(|least| number.as_f64().expect("finite") < least) {
                return wrong(format!("{number} is too small"));
            }
        }
        Value::String(text) => {
            let hex = |text: &str| text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
            let fits = match schema["pattern"].as_str() {
                None => true,
                Some("^[0-9a-f]{64}$") => hex(text) && text.len() == 64,
                Some("^[0-9a-f]{8}$") => hex(text) && text.len() == 8,
                Some("^([0-9a-f]{2})*$") => hex(text) && text.len() % 2 == 0,
                Some(other) => panic!("this test does not know the pattern {other}"),
            };
            if !fits {
                return wrong(format!("{text:?} is not as the pattern says"));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check(document, &schema["items"], item, &format!("{at}[{index}]"))?;
            }
        }
        Value::Object(fields) => {
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            for name in schema["required"].as_array().into_iter().flatten() {
                if !fields.contains_key(name.as_str().expect("a name")) {
                    return wrong(format!("{name} is missing"));
                }
            }
            for (name, field) in fields {
                match properties.get(name) {
                    Some(property) => check(document, property, field, &format!("{at}.{name}"))?,
                    // Choices and their common part are looked at one by one.
                    None if schema.get("oneOf").is_some() => {}
                    None => return wrong(format!("{name} is not documented")),
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    Ok(())
}

#[tokio::test]
async fn every_documented_address_answers_as_documented() {
    let mut rig = Rig::new();
    for n in 0..8 {
        rig.share(n % 3 + 1);
        rig.block(n % 3 + 1);
    }
    rig.bitcoin_block();
    let id = rig.block(1).to_string();
    let address = address_of(&owner(1), rig.chain.params().network);
    let served = served_on(rig).await;
    let client = &served.client;
    let answer = ask(client.address(), "GET /v1/openapi.json", &[]).await;
    let document: Value = serde_json::from_str(body(&answer)).expect("the document");
    let (mut asked, mut written) = (0, 0);
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let filled = path.replace("{id}", &id).replace("{address}", &address);
        assert!(!filled.contains('{'), "this test does not know what to ask for in {path}");
        for (method, operation) in methods.as_object().expect("methods") {
            let responses = &operation["responses"];
            let error = &responses["default"]["content"]["application/json"]["schema"];
            if method == "post" {
                // Without the token; what comes with it is tested where the network is played.
                let request = format!(
                    "POST {filled} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
                );
                let answer = raw(client.address(), request.as_bytes()).await;
                assert_eq!(status(&answer), Some(401), "{path}: {answer}");
                let refused = serde_json::from_str(body(&answer)).expect("JSON");
                check(&document, error, &refused, path).expect("an error as documented");
                assert_eq!(operation["security"][0]["token"], Value::Array(vec![]), "{path}");
                written += 1;
                continue;
            }
            assert!(operation.get("security").is_none(), "{path}");
            let content = responses["200"]["content"].as_object().expect("an answer");
            let (kind, schema) = content.iter().next().expect("a kind");
            if kind == "text/event-stream" {
                continue;
            }
            // As it is, with every optional parameter, and with one that is wrong.
            let names = |place: &str| -> Vec<&str> {
                let all = operation["parameters"].as_array().expect("a list");
                all.iter().filter(|p| p["in"] == place).map(|p| p["name"].as_str().expect("a name")).collect()
            };
            let mut asks = vec![filled.clone()];
            for name in names("query") {
                let value = match name {
                    "share" => id.as_str(),
                    "series" => "worker:rig%201",
                    "class" => "38",
                    _ => "5",
                };
                asks.push(format!("{filled}?{name}={value}"));
            }
            for line in &asks {
                let answer = ask(client.address(), &format!("GET {line}"), &[]).await;
                assert_eq!(status(&answer), Some(200), "{line}: {answer}");
                let head = answer.to_lowercase();
                assert!(head.contains(&format!("content-type: {kind}")), "{line} is no {kind}: {answer}");
                if kind == "application/json" {
                    let value: Value = serde_json::from_str(body(&answer)).expect("JSON");
                    check(&document, &schema["schema"], &value, line).unwrap_or_else(|why| panic!("{why}"));
                }
                asked += 1;
            }
            for name in names("query") {
                let answer = ask(client.address(), &format!("GET {filled}?{name}=-x"), &[]).await;
                assert_eq!(status(&answer), Some(400), "{path} with a wrong {name}: {answer}");
                let refused = serde_json::from_str(body(&answer)).expect("JSON");
                check(&document, error, &refused, path).expect("an error as documented");
            }
        }
    }
    assert!(asked > 15 && written == 4, "{asked} asked, {written} written");
}

#[test]
fn the_check_sees_what_is_wrong() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"],
        "properties": {
            "a": { "type": "integer", "minimum": 0 },
            "b": { "type": ["string", "null"], "pattern": "^[0-9a-f]{8}$" },
            "c": { "type": "array", "items": { "type": "number" } },
        },
    });
    let is_right =
        |text: &str| check(&Value::Null, &schema, &serde_json::from_str(text).expect("JSON"), "").is_ok();
    for right in [r#"{"a":0}"#, r#"{"a":1,"b":null}"#, r#"{"a":1,"b":"00ff00ff","c":[1,2.5]}"#] {
        assert!(is_right(right), "{right}");
    }
    for wrong in [
        "{}",
        "[]",
        r#"{"a":-1}"#,
        r#"{"a":"1"}"#,
        r#"{"a":1.5}"#,
        r#"{"a":1,"b":"00"}"#,
        r#"{"a":1,"c":["x"]}"#,
        r#"{"a":1,"d":1}"#,
    ] {
        assert!(!is_right(wrong), "{wrong}");
    }
}
