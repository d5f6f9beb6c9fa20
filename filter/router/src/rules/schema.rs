//! JSON Schemas of rulesets and their cases, generated from the models, with which editors complete
//! and document the fields.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::cases::CaseFile;
use crate::config::RulesetModel;

/// Returns the schema of a ruleset, `rulesets/schema.json`.
#[must_use]
pub fn ruleset() -> String {
    schema_of::<RulesetModel>()
}

/// Returns the schema of a ruleset's cases, `rulesets/cases.schema.json`.
#[must_use]
pub fn cases() -> String {
    schema_of::<CaseFile>()
}

fn schema_of<T: JsonSchema>() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text + "\n"
}
