//! The document that describes the interface (OpenAPI 3.1), made from the forms' own types.

use super::form::ErrorForm;
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

/// Where it is served.
pub(super) const PATH: &str = "/v1/openapi.json";

/// A form in the document.
pub(super) struct Form {
    name: String,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Form {
    fn of<T: ToSchema>() -> Self {
        let name = T::name().into_owned();
        let mut schemas = vec![(name.clone(), <T as PartialSchema>::schema())];
        T::schemas(&mut schemas);
        Self { name, schemas }
    }

    fn reference(&self) -> Value {
        json!({ "$ref": format!("#/components/schemas/{}", self.name) })
    }
}

/// What is answered when all is well.
pub(super) enum Answer {
    /// A form.
    Form(Form),
    /// Server-sent events whose data are a form.
    Events(Form),
    /// Something else.
    Lines(&'static str),
}

impl Answer {
    pub(super) fn of<T: ToSchema>() -> Self {
        Self::Form(Form::of::<T>())
    }

    pub(super) fn events<T: ToSchema>() -> Self {
        Self::Events(Form::of::<T>())
    }

    fn content(&self) -> Value {
        match self {
            Self::Form(form) => json!({ "application/json": { "schema": form.reference() } }),
            Self::Events(form) => json!({ "text/event-stream": { "schema": form.reference() } }),
            Self::Lines(kind) => json!({ *kind: {} }),
        }
    }

    fn into_form(self) -> Option<Form> {
        match self {
            Self::Form(form) | Self::Events(form) => Some(form),
            Self::Lines(_) => None,
        }
    }
}

/// Something that a question may name.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    name: &'static str,
    place: &'static str,
    kind: &'static str,
    says: &'static str,
}

impl Parameter {
    pub(super) const fn in_path(name: &'static str, says: &'static str) -> Self {
        Self { name, place: "path", kind: "string", says }
    }

    pub(super) const fn number(name: &'static str, says: &'static str) -> Self {
        Self { name, place: "query", kind: "integer", says }
    }

    pub(super) const fn text(name: &'static str, says: &'static str) -> Self {
        Self { name, place: "query", kind: "string", says }
    }

    fn value(self) -> Value {
        let mut schema = json!({ "type": self.kind });
        if self.kind == "integer" {
            schema["minimum"] = json!(0);
        }
        json!({
            "name": self.name, "in": self.place, "required": self.place == "path", "description": self.says,
            "schema": schema,
        })
    }
}

/// One thing that can be asked for or done.
pub(super) struct Operation {
    pub(super) path: &'static str,
    says: &'static str,
    parameters: Vec<Parameter>,
    body: Option<Form>,
    answer: Answer,
    /// Whether it changes something, and so needs the token.
    writes: bool,
}

impl Operation {
    pub(super) const fn new(path: &'static str, says: &'static str, answer: Answer) -> Self {
        Self { path, says, parameters: Vec::new(), body: None, answer, writes: false }
    }

    pub(super) fn with(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    pub(super) fn writing(mut self) -> Self {
        self.writes = true;
        self
    }

    pub(super) fn taking<T: ToSchema>(mut self) -> Self {
        self.body = Some(Form::of::<T>());
        self.writing()
    }
}

/// The document while it is put together.
#[derive(Default)]
pub(super) struct Document {
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
}

impl Document {
    pub(super) fn add(&mut self, method: &str, operation: Operation) {
        let error = Form::of::<ErrorForm>();
        let mut value = json!({
            "summary": operation.says,
            "parameters": operation.parameters.iter().map(|parameter| parameter.value()).collect::<Vec<_>>(),
            "responses": {
                "200": { "description": operation.says, "content": operation.answer.content() },
                "default": {
                    "description": "Why there is no answer",
                    "content": { "application/json": { "schema": error.reference() } },
                },
            },
        });
        if let Some(body) = &operation.body {
            let content = json!({ "application/json": { "schema": body.reference() } });
            value["requestBody"] = json!({ "required": true, "content": content });
        }
        if operation.writes {
            value["security"] = json!([{ "token": [] }]);
        }
        self.paths.entry(operation.path).or_insert_with(|| json!({}))[method] = value;
        for form in [Some(error), operation.body, operation.answer.into_form()].into_iter().flatten() {
            for (name, schema) in form.schemas {
                self.schemas.insert(name, serde_json::to_value(schema).unwrap_or_default());
            }
        }
    }

    /// The whole of it.
    pub(super) fn text(self) -> String {
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "commonwork",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "The interface of a node, on loopback. Amounts are satoshis, times seconds since 1970, \
                                scores expected Bitcoin blocks.",
                "license": { "name": env!("CARGO_PKG_LICENSE") },
            },
            "paths": self.paths,
            "components": {
                "schemas": self.schemas,
                "securitySchemes": {
                    "token": {
                        "type": "http", "scheme": "bearer",
                        "description": "The text of the file api-token in the node's data folder",
                    },
                },
            },
        })
        .to_string()
    }
}
