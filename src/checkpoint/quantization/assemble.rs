//! Finds the stored tensors of each weight by their names.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use safetensors::Dtype;

use super::QuantizationError;
use super::method::Method;
use crate::checkpoint::part::Part;
use crate::checkpoint::weight::Weight;

pub const WEIGHT: &str = ".weight";

const CODES: [Dtype; 6] =
    [Dtype::F8_E4M3, Dtype::F8_E5M2, Dtype::F8_E4M3FNUZ, Dtype::F8_E5M2FNUZ, Dtype::I8, Dtype::U8];

/// Endings of tensor names in unsupported formats, with the format's name.
const UNSUPPORTED: [(&str, &str); 4] = [
    (".bitmask", "compressed-tensors with a bitmask for sparse weights"),
    (".pre_quant_scale", "modelopt with scales of the inputs in the weights"),
    (".weight._data", "quanto"),
    (".codebooks", "aqlm"),
];

/// Reads a small tensor while the scan is planned.
pub type Peek<'a> = dyn Fn(&Part) -> Result<Vec<u8>, QuantizationError> + 'a;

/// Assembles stored tensors to weights in the same order. Also returns the tensors that belong to a quantised weight beside
/// its codes.
pub fn assemble(
    parts: Vec<Part>,
    method: Option<&Method>,
    peek: &Peek<'_>,
) -> Result<(Vec<Weight>, Vec<Part>), QuantizationError> {
    for (ending, format) in UNSUPPORTED {
        if parts.iter().any(|part| part.tensor.name.ends_with(ending)) {
            return Err(QuantizationError::Unsupported(format.to_owned()));
        }
    }
    let by_name = parts.iter().map(|part| (part.tensor.name.as_str(), part)).collect();
    let scaled = parts.iter().filter_map(|part| scaled_module(&part.tensor.name)).collect();
    let stored = Stored { by_name, scaled, method, peek, described: RefCell::default() };
    let mut quantized = HashMap::new();
    let mut consumed = HashSet::new();
    for part in &parts {
        if let Some(weight) = stored.weight(part)? {
            consumed.extend(weight.parts().iter().skip(1).map(|part| part.tensor.name.clone()));
            quantized.insert(part.tensor.name.clone(), weight);
        }
    }
    let mut weights = Vec::with_capacity(parts.len());
    let mut companions = Vec::new();
    for part in parts {
        if let Some(weight) = quantized.remove(&part.tensor.name) {
            weights.push(weight);
        } else if consumed.contains(&part.tensor.name) {
            companions.push(part);
        } else {
            weights.push(Weight::plain(part));
        }
    }
    Ok((weights, companions))
}

/// The module if `name` is called like the scales of its weight, and not like those of its inputs or outputs.
fn scaled_module(name: &str) -> Option<&str> {
    let (module, leaf) = name.rsplit_once('.')?;
    let is_of_weight = leaf.contains("scale") && !leaf.starts_with("input") && !leaf.starts_with("output");
    is_of_weight.then(|| module.strip_suffix(WEIGHT).unwrap_or(module))
}

/// The stored tensors of a model by their names.
pub struct Stored<'a> {
    by_name: HashMap<&'a str, &'a Part>,
    /// The modules that have scales of any name.
    scaled: HashSet<&'a str>,
    pub method: Option<&'a Method>,
    peek: &'a Peek<'a>,
    /// The descriptions of modules so far, by the kind of module.
    described: RefCell<HashMap<String, Vec<u8>>>,
}

impl Stored<'_> {
    /// The weight whose codes `part` contains; `None` if they are not codes of a known format. Such tensors are kept as stored,
    /// because whether they matter depends on their role in the model.
    fn weight(&self, part: &Part) -> Result<Option<Weight>, QuantizationError> {
        let name = part.tensor.name.as_str();
        if part.tensor.shape.contains(&0) {
            return Ok(None);
        }
        if let Some(base) = name.strip_suffix(".qweight") {
            return self.packed_columns(part, base).map(Some);
        }
        if let Some(base) = name.strip_suffix(".weight_packed") {
            return self.compressed(part, base).map(Some);
        }
        let blocks = name.strip_suffix("_blocks").filter(|_| part.tensor.dtype == Dtype::U8);
        if let Some(base) = blocks.filter(|base| self.find(&format!("{base}_scales")).is_some()) {
            return self.mxfp4(part, base).map(Some);
        }
        if self.find(&format!("{name}.absmax")).is_some() {
            return self.bitsandbytes(part).map(Some);
        }
        if let Some((module, parameter)) = torchao_parameter(name) {
            return self.torchao(part, module, parameter).map(Some);
        }
        if let Some(base) = name.strip_suffix(".W_q") {
            return self.hqq(part, base).map(Some);
        }
        if CODES.contains(&part.tensor.dtype) { self.bytes(part) } else { Ok(None) }
    }

    pub fn find(&self, name: &str) -> Option<&Part> {
        self.by_name.get(name).copied()
    }

    /// Whether the module `base` has scales under a name that no known format uses.
    pub fn has_other_scale(&self, base: &str) -> bool {
        self.scaled.contains(base)
    }

    /// The tensor of this name, which is needed to decode `codes`.
    pub fn need(&self, name: &str, codes: &Part) -> Result<&Part, QuantizationError> {
        self.find(name)
            .ok_or_else(|| codes.undecodable(&format!("is quantised, but there is no tensor '{name}'")).into())
    }

    /// The content of the small tensor `part`, which describes `codes`. It is read only once for modules of the same kind, which
    /// are assumed to have the same description; this is checked when each is decoded.
    pub fn describe(&self, part: &Part, codes: &Part) -> Result<Vec<u8>, QuantizationError> {
        let is_no_number = |segment: &&str| segment.parse::<usize>().is_err();
        let kind: Vec<&str> = part.tensor.name.split('.').filter(is_no_number).collect();
        let kind = format!("{} {:?}", kind.join("."), codes.tensor.shape);
        if let Some(bytes) = self.described.borrow().get(&kind) {
            return Ok(bytes.clone());
        }
        let bytes = (self.peek)(part)?;
        self.described.borrow_mut().insert(kind, bytes.clone());
        Ok(bytes)
    }
}

/// The module and the parameter of torchao's codes called `name`.
fn torchao_parameter(name: &str) -> Option<(&str, &str)> {
    let (module, leaf) = name.rsplit_once('.')?;
    Some((module, leaf.strip_prefix('_')?.strip_suffix("_qdata")?))
}
