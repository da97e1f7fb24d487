//! PEFT: the names of modules and of parameters, and the JSON that `LoraConfig(**…)` takes.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::choice::Choice;
use super::document::Remark;
use super::profile::Profile;
use super::remedy::Remedy;
use super::resolve::Rule;
use super::targets::Target;
use super::{Export, ExportError, Format, Trainer, expression, lora};
use crate::modules::{self, Refused, WEIGHT, rewritten_by_peft};
use crate::output;

/// The last segments of the names of modules that PEFT refuses to adapt in a Mamba.
const REFUSED_OF_MAMBAS: [&str; 2] = ["out_proj", "conv1d"];

/// Endings of the names of classes, with the tasks that PEFT knows for them.
const TASKS: [(&str, &str); 6] = [
    ("ForCausalLM", "CAUSAL_LM"),
    ("LMHeadModel", "CAUSAL_LM"),
    ("ForSequenceClassification", "SEQ_CLS"),
    ("ForTokenClassification", "TOKEN_CLS"),
    ("ForQuestionAnswering", "QUESTION_ANS"),
    ("EncoderModel", "FEATURE_EXTRACTION"),
];

/// The arguments of `LoraConfig` that are written.
pub const KEYS: [&str; 9] = [
    "r",
    "lora_alpha",
    "target_modules",
    "lora_dropout",
    "target_parameters",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "task_type",
];

const NO_DROPOUT: &str = "lora_dropout is 0: parameters cannot be trained with any";

#[derive(Debug)]
pub struct Peft;

impl Trainer for Peft {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "peft",
            name: "PEFT",
            formats: &[Format::Json],
            keys: &KEYS,
            has_rank_pattern: true,
            rslora: Some("use_rslora"),
            takes_diffusion: true,
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let (config, notes) = config(choice)?;
        let documents = vec![self.document(choice, Format::Json, output::python_json_text(&config))];
        Ok(Export { documents, notes, ..Export::default() })
    }
}

/// What `LoraConfig` is given, and remarks on it.
pub fn config(choice: &Choice<'_>) -> Result<(Map<String, Value>, Vec<Remark>), ExportError> {
    let names = Names::checked(choice)?;
    let ranks = names.rank_pattern(choice).into_iter().map(|(pattern, rank)| (pattern, json!(rank)));
    let alphas = names.alpha_pattern(choice).into_iter().map(|(pattern, alpha)| (pattern, lora::in_json(alpha)));
    let (ranks, alphas): (Map<String, Value>, Map<String, Value>) = (ranks.collect(), alphas.collect());
    let mut config = Map::new();
    config.insert("r".into(), json!(choice.lora.rank));
    config.insert("lora_alpha".into(), choice.lora.alpha_in_json());
    let modules = match names.modules {
        Modules::List(names) => json!(names),
        Modules::Expression(expression) => json!(expression),
    };
    config.insert("target_modules".into(), modules);
    if !names.parameters.is_empty() {
        config.insert("lora_dropout".into(), json!(0));
        config.insert("target_parameters".into(), json!(names.parameters));
    }
    config.insert("rank_pattern".into(), Value::Object(ranks));
    config.insert("alpha_pattern".into(), Value::Object(alphas));
    if choice.lora.rslora {
        config.insert("use_rslora".into(), json!(true));
    }
    if let Some(task) = task_type(choice) {
        config.insert("task_type".into(), json!(task));
    }
    Ok((config, names.notes))
}

/// The names that PEFT is given.
pub struct Names {
    pub modules: Modules,
    pub parameters: Vec<String>,
    as_parameters: HashSet<usize>,
    pub notes: Vec<Remark>,
}

/// How PEFT is told which modules to adapt.
pub enum Modules {
    /// By their names, none of which is also the end of another's.
    List(Vec<String>),
    /// By one expression that matches whole names.
    Expression(String),
}

/// What is trained, as PEFT gets it: modules and parameters, each with the places of its targets.
#[derive(Default)]
struct Trained {
    modules: Vec<String>,
    as_modules: HashSet<usize>,
    parameters: Vec<String>,
    as_parameters: HashSet<usize>,
}

impl Names {
    /// The names of what is trained, after a check that they hit exactly what they should.
    pub fn checked(choice: &Choice<'_>) -> Result<Self, ExportError> {
        let trained = Trained::of(choice)?;
        let mut notes = Vec::new();
        let modules = match trained.check_modules(choice) {
            Ok(()) => Modules::List(trained.modules.clone()),
            Err(error) => {
                let (expression, note) = trained.expression(choice, error)?;
                notes.push(note);
                Modules::Expression(expression)
            }
        };
        trained.check_parameters(choice)?;
        if !trained.parameters.is_empty() {
            notes.push(NO_DROPOUT.to_owned().into());
        }
        // PEFT's wrapper takes the shape of the stored tensor, which differs in 4 bits.
        let linear = trained.as_parameters.iter().copied().filter(|place| !choice.target(*place).is_parameter).min();
        if let Some(first) = linear.map(|place| &choice.target(place).name) {
            let text = format!(
                "PEFT gets '{first}' and others like it as parameters, which may fail on weights loaded in 4 bits"
            );
            notes.push(Remark::new(text, Remedy::LeaveTypesOut));
        }
        let Trained { parameters, as_parameters, .. } = trained;
        Ok(Self { modules, parameters, as_parameters, notes })
    }

    /// What has a rank of its own, as regular expressions, and those ranks: one expression for all that share one.
    pub fn rank_pattern(&self, choice: &Choice<'_>) -> Vec<(String, u64)> {
        let heads = choice.trained().map(|place| choice.target(place)).filter(|target| target.is_head);
        let heads = heads.filter_map(|head| Some((expression::literally(&head.name), choice.lora.head_rank?)));
        heads.chain(self.lower(choice)).collect()
    }

    /// The same but the head, with the alphas that scale their adapters as the others are scaled.
    pub fn alpha_pattern(&self, choice: &Choice<'_>) -> Vec<(String, f64)> {
        self.lower(choice).map(|(pattern, rank)| (pattern, choice.lora.alpha_at(rank))).collect()
    }

    /// What cannot use the rank of the others. PEFT matches the whole name of a parameter.
    fn lower(&self, choice: &Choice<'_>) -> impl Iterator<Item = (String, u64)> {
        let mut alike: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for (place, rank) in &choice.lora.lower {
            let target = choice.target(*place);
            let is_parameter = self.as_parameters.contains(place);
            let name = if is_parameter { target.parameter() } else { target.name.clone() };
            alike.entry(*rank).or_default().push(name);
        }
        alike.into_iter().map(|(rank, names)| (expression::exactly(&names), rank))
    }

    /// The names for a trainer that can give PEFT only a list of modules.
    pub fn modules_only(choice: &Choice<'_>) -> Result<Vec<String>, ExportError> {
        let trained = Trained::of(choice)?;
        trained.check_modules(choice)?;
        trained.check_parameters(choice)?;
        let Trained { modules, parameters, .. } = trained;
        let Some(first) = parameters.first() else { return Ok(modules) };
        let is_parameter =
            |name: &str| choice.targets.all.iter().any(|target| target.is_parameter && target.name == name);
        let (name, why) = match parameters.iter().find(|name| is_parameter(name)) {
            Some(name) => (name.as_str(), "is one in memory"),
            None => (
                first.strip_suffix(WEIGHT).unwrap_or(first),
                "must be given as one: PEFT takes its name for all layers",
            ),
        };
        let what = format!("cannot be given parameters, and '{name}' {why}");
        Err(choice.unsupported(what, Remedy::OtherTypesOrTrainer))
    }
}

impl Trained {
    fn of(choice: &Choice<'_>) -> Result<Self, ExportError> {
        let mut trained = Self::default();
        let rewritten = rewritten(choice);
        for place in choice.trained() {
            let target = choice.target(place);
            let leaf = target.name.rsplit('.').next().unwrap_or(&target.name);
            if let Some(why) = refused(choice, target, leaf) {
                return Err(ExportError::Unadaptable { trainer: choice.trainer, name: target.name.clone(), why });
            }
            // In version 5 routers are not linear modules, so that PEFT gets their weights as parameters.
            let is_router = target.is_router && choice.around.is_none_or(|around| around.transformers >= 5);
            if target.is_parameter || is_router || rewritten.contains(&leaf) {
                trained.parameters.push(target.parameter());
                trained.as_parameters.insert(place);
            } else {
                trained.modules.push(target.name.clone());
                trained.as_modules.insert(place);
            }
        }
        Ok(trained)
    }

    fn check_modules(&self, choice: &Choice<'_>) -> Result<(), ExportError> {
        choice.check(Rule::ModuleSuffix, &self.modules, &self.as_modules)
    }

    fn check_parameters(&self, choice: &Choice<'_>) -> Result<(), ExportError> {
        choice.check(Rule::ParameterSuffix, &self.parameters, &self.as_parameters)
    }

    /// One expression for the modules, with a note, if the `error` is that a list of their names hits more than them, and if
    /// PEFT takes an expression as it is.
    fn expression(&self, choice: &Choice<'_>, error: ExportError) -> Result<(String, Remark), ExportError> {
        let ExportError::HitsMore { name, what, .. } = &error else { return Err(error) };
        let note = format!("the modules are given as one expression, because '{name}' in a list would hit also {what}");
        let expression = expression::exactly(&self.modules);
        let checked =
            || choice.check(Rule::ModuleExpression, std::slice::from_ref(&expression), &self.as_modules).is_ok();
        if keeps_expressions(choice) && checked() { Ok((expression, note.into())) } else { Err(error) }
    }
}

/// Whether PEFT takes an expression as it is. Where version 5 of transformers has experts as parameters, PEFT keeps only the
/// last segments of the names that match, and so loses the choice of layers (`_resolve_string_target_modules` in
/// `peft/utils/transformers_weight_conversion.py`).
pub fn keeps_expressions(choice: &Choice<'_>) -> bool {
    let is_of_mixture = |target: &Target| target.is_parameter || target.is_router || modules::is_expert(&target.name);
    choice.around.is_some_and(|around| around.transformers < 5 || !choice.targets.all.iter().any(is_of_mixture))
}

fn refused(choice: &Choice<'_>, target: &Target, leaf: &str) -> Option<&'static str> {
    let is_refused = |what| choice.architectures().any(|architecture| architecture.refused == Some(what));
    if REFUSED_OF_MAMBAS.contains(&leaf) && is_refused(Refused::MambaKernels) {
        Some("it refuses those of a Mamba, whose kernels take the weights by themselves")
    } else if target.is_parameter && is_refused(Refused::Experts) {
        Some("the experts of DBRX fail under an adapter")
    } else if choice.architectures().any(|architecture| architecture.is_own_convolution(&target.name)) {
        Some("it makes an adapter of the convolution's own class, which does not take what torch's takes")
    } else {
        None
    }
}

/// The last segments of names that PEFT itself rewrites for this model if they are in a list of modules.
fn rewritten(choice: &Choice<'_>) -> Vec<&'static str> {
    if choice.around.is_none_or(|around| around.transformers < 5) {
        return Vec::new();
    }
    choice.model_types().flat_map(rewritten_by_peft).copied().collect()
}

/// What PEFT calls the model's task, by which it chooses its wrapper; `None` if the model's class does not tell.
fn task_type(choice: &Choice<'_>) -> Option<&'static str> {
    let classes = &choice.around?.architectures;
    let [class] = classes.as_slice() else { return None };
    TASKS.iter().find(|(ending, _)| class.ends_with(ending)).map(|(_, task)| *task)
}
