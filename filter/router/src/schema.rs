//! JSON Schemas of the files people write, generated from the models, so that an editor completes
//! and explains what the router reads.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::cases::CaseFile;
use crate::config::RulesetModel;

/// The schema of a ruleset, `rulesets/schema.json`.
#[must_use]
pub fn ruleset() -> String {
    schema_of::<RulesetModel>()
}

/// The schema of a ruleset's cases, `rulesets/cases.schema.json`.
#[must_use]
pub fn cases() -> String {
    schema_of::<CaseFile>()
}

fn schema_of<T: JsonSchema>() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text + "\n"
}
