//! The `email` effect: one mail a business key, rendered while planning.
//!
//! Rendering here and not when sending means that a broken template parks the webhook with a
//! reason, instead of failing after the webhook was acknowledged.

use lettre::Address;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Deserialize;

use super::effect::{Effect, EffectMistake, KeyText, Kind};
use super::{Body, Email, Expression, Letter, Plan, PlanError, Skip, Subject};
use crate::config::{AmbiguousPolicy, EmailEffectConfig};
use crate::name::Name;

/// The steps that one template may take; bounds a loop over a hostile body.
const TEMPLATE_FUEL: u64 = 200_000;

pub(super) struct EmailEffect {
    name: Name,
    map: Expression,
    templates: Environment<'static>,
    on_ambiguous: AmbiguousPolicy,
}

impl Kind for EmailEffectConfig {
    const KIND: &'static str = "email";
}

/// One mail, as the mapping yields it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mail {
    key: KeyText,
    to: Option<String>,
    #[serde(default)]
    data: serde_json::Value,
}

impl EmailEffect {
    pub(super) fn compile(name: &Name, config: &EmailEffectConfig) -> Result<Self, Vec<EffectMistake>> {
        let mut mistakes = Vec::new();
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|_plain_text| AutoEscape::None);
        templates.set_fuel(Some(TEMPLATE_FUEL));
        for (key, source) in [("subject", &config.subject), ("text", &config.text)] {
            if let Err(error) = templates.add_template_owned(key, source.clone()) {
                let problem = format!("not a valid template: {}", one_line(&error));
                mistakes.push(EffectMistake { key, problem });
            }
        }
        match Expression::compile(&config.map) {
            Ok(map) if mistakes.is_empty() => {
                Ok(Self { name: name.clone(), map, templates, on_ambiguous: config.on_ambiguous })
            }
            Ok(_) => Err(mistakes),
            Err(error) => {
                mistakes.push(EffectMistake { key: "map", problem: error.to_string() });
                Err(mistakes)
            }
        }
    }

    fn render(&self, template: &str, data: &serde_json::Value) -> Result<String, PlanError> {
        self.templates
            .get_template(template)
            .and_then(|template| template.render(minijinja::value::Serde(data)))
            .map_err(|error| PlanError::Template { effect: self.name.clone(), problem: one_line(&error) })
    }

    fn email(&self, source: &Name, mail: Mail) -> Result<Result<Email, Skip>, PlanError> {
        let key = mail.key.checked(&self.name, "key")?;
        let skip = |reason: String| Skip { by: self.name.to_string(), reason };
        let to = mail.to.unwrap_or_default().trim().to_owned();
        if to.is_empty() {
            return Ok(Err(skip(format!("{key} has no e-mail address"))));
        }
        if to.parse::<Address>().is_err() {
            return Ok(Err(skip(format!("{key} has an e-mail address that is none"))));
        }
        let subject = self.render("subject", &mail.data)?;
        let letter = Letter {
            to,
            subject: subject.split_whitespace().collect::<Vec<_>>().join(" "),
            text: self.render("text", &mail.data)?,
        };
        let dedupe_key = format!("{}/{source}/{key}", self.name);
        Ok(Ok(Email { effect: self.name.clone(), dedupe_key, letter, on_ambiguous: self.on_ambiguous }))
    }
}

impl Effect for EmailEffect {
    fn plan(&self, subject: Subject<'_>, body: &Body, plan: &mut Plan) -> Result<(), PlanError> {
        let mails = self.map.run::<Mail>(body);
        for mail in mails.map_err(|error| PlanError::Mapping { effect: self.name.clone(), error })? {
            match self.email(subject.source, mail)? {
                Ok(email) => plan.emails.push(email),
                Err(skip) => plan.skips.push(skip),
            }
        }
        Ok(())
    }
}

fn one_line(error: &minijinja::Error) -> String {
    let line = error.line().map_or_else(String::new, |line| format!(" (line {line} of the template)"));
    format!("{}{line}", error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
}
