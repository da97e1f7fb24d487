//! What a trainer sees of a model in memory, and which of it is chosen.

use std::collections::{HashMap, HashSet};

use super::ExportError;
use crate::modules::{self, InMemory, Info, Role, WEIGHT};
use crate::scan::{Scan, Surroundings};
use crate::select::{Cost, Selection};

/// A module or a parameter in memory that can be trained by itself.
#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    /// Whether it is a parameter of a module that is not linear itself.
    pub is_parameter: bool,
    pub layer: Option<usize>,
    /// `None` if a shape is not known.
    pub cost: Option<Cost>,
    /// The highest rank that an adapter beside it can use; `None` if a shape is not known.
    pub limit: Option<u64>,
    /// Whether it is the projection onto the vocabulary.
    pub is_head: bool,
    /// Whether it is the linear map that chooses among experts.
    pub is_router: bool,
    /// Whether it holds experts that are modules of their own on disk.
    is_of_experts: bool,
    /// Whether a scan ranks it by default.
    is_ranked: bool,
    /// The places of the modules on disk that it holds: those of a scan's records, and after them those of what is around.
    pub members: Vec<usize>,
}

/// The names under which a trainer knows what a scan has.
pub trait Naming {
    /// What a module is for the trainer; `None` if it is not known.
    fn memory(&self, info: &Info) -> Option<InMemory>;
}

/// The names of the loaded model, by which most trainers go.
#[derive(Debug)]
pub struct AsLoaded;

impl Naming for AsLoaded {
    fn memory(&self, info: &Info) -> Option<InMemory> {
        Some(info.memory.clone())
    }
}

/// All that a model, or one component of a pipeline, has in memory, as far as it is known.
#[derive(Debug)]
pub struct Targets {
    pub all: Vec<Target>,
    /// The places of the modules for which the trainer has no name that is known.
    unnamed: Vec<usize>,
    /// Names of all other parameters: of norms, embeddings and so on.
    pub others: Vec<String>,
}

impl Target {
    fn new(name: &str, info: &Info, role: Role) -> Self {
        Self {
            name: name.to_owned(),
            is_parameter: info.memory.parameter().is_some(),
            layer: info.layer,
            cost: None,
            limit: None,
            is_head: role == Role::Head && modules::is_output(&info.name),
            is_router: role == Role::Router,
            is_of_experts: modules::is_expert(&info.name),
            is_ranked: role == Role::Linear,
            members: Vec::new(),
        }
    }

    /// Whether it is one module in memory that is several on disk, which are no experts.
    pub fn is_joined(&self) -> bool {
        !self.is_parameter && !self.is_of_experts && self.members.len() > 1
    }

    /// The name of the parameter that is trained.
    pub fn parameter(&self) -> String {
        if self.is_parameter { self.name.clone() } else { format!("{}{WEIGHT}", self.name) }
    }
}

impl Targets {
    /// The targets of a scan and of the model around it, or of one `component` of it.
    pub fn new(scan: &Scan, component: Option<&str>, naming: &dyn Naming) -> Self {
        let is_in = |name: &str| component.is_none_or(|component| belongs(name, component));
        let around = scan.surroundings.iter().flat_map(|around| &around.modules);
        // A scan's file does not say what its modules are for. So their names decide here, and a configuration that is written
        // with the scan is the same as one that is written from its file.
        let records = scan.records().iter().map(|record| (&record.info, modules::role_by_name(&record.info.name)));
        let infos = records.chain(around.map(|info| (info, info.role)));
        let mut unnamed = Vec::new();
        let named = |(place, (info, role)): (usize, (&Info, Role))| {
            let memory = naming.memory(info).unwrap_or_else(|| {
                unnamed.extend(is_in(&info.name).then_some(place));
                InMemory::Modules(Vec::new())
            });
            (Info { memory, ..info.clone() }, role)
        };
        let infos: Vec<(Info, Role)> = infos.enumerate().map(named).collect();
        let mut all: Vec<Target> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let whole = infos.iter().enumerate().filter(|(_, (info, _))| info.part_of.is_none() && is_in(&info.name));
        for (place, (info, role)) in whole {
            for name in info.memory.names() {
                let at = *places.entry(name).or_insert(all.len());
                if at == all.len() {
                    all.push(Target::new(name, info, *role));
                }
                all[at].members.push(place);
            }
        }
        for target in &mut all {
            let members: Vec<Info> = target.members.iter().map(|place| share(&infos[*place].0, &target.name)).collect();
            // Modules that are joined to one have its inputs in common.
            let members = if target.is_joined() { Info::joined(members.iter()).into_iter().collect() } else { members };
            target.cost = Cost::of(members.iter());
            let limits = members.iter().map(|info| info.shape.map(|[rows, columns]| rows.min(columns) as u64));
            target.limit = limits.min().flatten();
        }
        Self {
            all,
            unnamed,
            others: scan.surroundings.as_ref().map_or_else(Vec::new, |around| others(around, component)),
        }
    }

    /// The places of the targets that hold the chosen modules, in the order of the choice. A target that also holds a module
    /// that is not chosen is an error.
    pub fn chosen(&self, selection: &Selection<'_>, trainer: &'static str) -> Result<Vec<usize>, ExportError> {
        let members: Vec<usize> = selection.chosen().flat_map(|candidate| candidate.members()).copied().collect();
        let wanted: HashSet<usize> = members.iter().copied().collect();
        let mut holders: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, target) in self.all.iter().enumerate() {
            target.members.iter().for_each(|member| holders.entry(*member).or_default().push(at));
        }
        let mut places = Vec::new();
        let mut seen = HashSet::new();
        if let Some(place) = members.iter().find(|member| self.unnamed.contains(member)) {
            let name = selection.scan.records()[*place].info.name.clone();
            return Err(ExportError::Unnamed { trainer, name });
        }
        for member in members {
            for at in holders.get(&member).into_iter().flatten().copied().filter(|at| seen.insert(*at)) {
                let target = &self.all[at];
                let count = target.members.iter().filter(|member| wanted.contains(member)).count();
                let scanned = target.members.iter().filter(|place| **place < selection.scan.records().len()).count();
                if count < target.members.len() && target.is_joined() && scanned < target.members.len() {
                    let (name, held) = (target.name.clone(), target.members.len());
                    return Err(ExportError::Unscanned { trainer, name, scanned, held });
                }
                if count < target.members.len() {
                    let (name, held) = (target.name.clone(), target.members.len());
                    return Err(if target.is_parameter {
                        ExportError::Together { name, chosen: count, held }
                    } else if target.is_of_experts {
                        ExportError::Stacked { trainer, name, chosen: count, held }
                    } else {
                        ExportError::Merged { trainer, name, chosen: count, held }
                    });
                }
                places.push(at);
            }
        }
        Ok(places)
    }

    /// The place of each name.
    pub fn places(&self) -> HashMap<&str, usize> {
        self.all.iter().enumerate().map(|(at, target)| (target.name.as_str(), at)).collect()
    }

    pub fn heads(&self) -> Vec<usize> {
        self.all.iter().enumerate().filter(|(_, target)| target.is_head).map(|(at, _)| at).collect()
    }

    /// The cost and number of the modules that plain LoRA over all linear modules trains: all that a scan ranks, without the
    /// head. `None` if a shape is not known.
    pub fn plain(&self) -> Option<(Cost, usize)> {
        let ranked = || self.all.iter().filter(|target| target.is_ranked && !target.is_head);
        Some((ranked().map(|target| target.cost).sum::<Option<Cost>>()?, ranked().count()))
    }
}

/// The names of parameters that are no targets, in the model or in one `component` of it.
fn others(around: &Surroundings, component: Option<&str>) -> Vec<String> {
    let Some(component) = component else { return around.names.clone() };
    let is_elsewhere = |name: &str| around.components.iter().any(|other| other != component && belongs(name, other));
    let own = around.names.iter().filter(|name| !is_elsewhere(name));
    own.map(|name| within(name, component).unwrap_or(name).to_owned()).collect()
}

/// Whether the module called `name` is in a `component` of a pipeline.
pub fn belongs(name: &str, component: &str) -> bool {
    within(name, component).is_some()
}

/// What a module of a pipeline is called in its `component`.
pub fn within<'n>(name: &'n str, component: &str) -> Option<&'n str> {
    name.strip_prefix(component)?.strip_prefix('.')
}

/// The part of a module that is in the target called `name`. The blocks of rows that a divided weight is cut into may differ.
/// What they cost together does not, so that equal ones stand for them; a remainder belongs to the first.
fn share(info: &Info, name: &str) -> Info {
    let (names, memory) = match &info.memory {
        InMemory::Modules(names) => (names, InMemory::Modules(vec![name.to_owned()])),
        InMemory::Parameters(names) => (names, InMemory::Parameter(name.to_owned())),
        InMemory::Parameter(_) | InMemory::RowsOf(_) => return info.clone(),
    };
    let rest = |rows: usize| if names[0] == name { rows % names.len() } else { 0 };
    let shape = info.shape.map(|[rows, columns]| [rows / names.len() + rest(rows), columns]);
    Info { memory, shape, ..info.clone() }
}
