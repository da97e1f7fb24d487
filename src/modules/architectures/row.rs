//! What a row of the table can say, and pieces that several rows share.

use super::super::name::number;

/// What is known of some architectures besides the general rules.
#[derive(Debug)]
pub struct Architecture {
    /// The `model_type`s of transformers that the row describes. They may also be classes: of diffusers, or of
    /// transformers if a class is renamed in another way than the others of its `model_type`.
    pub names: &'static [&'static str],
    /// Fused weights: the end of the module's name, and how the weight is divided.
    pub fused: &'static [(&'static str, Layout)],
    /// Stacks of experts that the general rule does not find, by the end of the tensor's name without `.weight`.
    pub stacks: &'static [(&'static str, Stack)],
    /// The names of heads that the general rules do not know.
    pub heads: &'static [&'static str],
    pub input_first: InputFirst,
    /// Whether convolutions make up so much of the model that they are measured by default.
    pub convolutions: bool,
    /// Convolutions that are not like others: the end of the name, where `#` is a number, and what is odd.
    pub odd: &'static [(&'static str, Odd)],
    /// The ends of the names of convolutions whose class takes other arguments than torch's. PEFT makes the convolutions of
    /// an adapter of the same class (`_ConvNd.update_layer` in `peft/tuners/lora/layer.py`), and fails.
    pub own_convolutions: &'static [&'static str],
    /// What PEFT cannot adapt.
    pub refused: Option<Refused>,
    /// The ends of the names of modules whose weight the model's code reads without calling the module, so that an
    /// adapter for them has no effect.
    pub bypassed: &'static [&'static str],
}

/// How the outputs of a fused weight are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Equal blocks, one after the other.
    Blocks(&'static [&'static str]),
    /// One line of each in turn.
    Alternating(&'static [&'static str]),
    /// Equal blocks within each attention head.
    PerHead(&'static [&'static str]),
    /// Equal blocks within each of this many equal parts.
    PerPart(usize, &'static [&'static str]),
    /// All queries, then all keys, then all values, each as many as its heads take.
    QueryKeyValue,
    /// Falcon's: within each group of heads its queries, its key and its value; or one group for all heads; or head by
    /// head.
    Falcon,
    /// GPT-BigCode's: one group for all heads, or head by head.
    BigCode,
    /// Queries, keys, values and output gates of the gated delta rule, within each key head.
    GatedDeltaQkvz,
    /// The two gates of the gated delta rule, within each key head.
    GatedDeltaBa,
    /// Queries, keys and values of the gated delta rule, one after the other.
    GatedDeltaQkv,
    /// Mamba-2's gate, its convolution's input, and its time steps.
    Mamba2,
}

/// How experts are stacked in one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Along the first of three dimensions.
    Leading,
    /// As blocks of rows, whose number the configuration has under this key.
    Rows(&'static str),
}

/// Which weights are stored as `[in, out]`, the transpose of what `nn.Linear` stores. Singular values are the same
/// either way, but a fused weight is divided along its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFirst {
    Nothing,
    /// Stacks of experts, unless their shape says otherwise.
    Experts,
    /// All weights, because the modules are `Conv1D`.
    Everything,
}

/// What PEFT cannot adapt of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The modules of a Mamba whose weights its kernels read directly; PEFT refuses them
    /// (`_check_lora_target_modules_mamba` in `peft/tuners/tuners_utils.py`).
    MambaKernels,
    /// Experts that are parameters, because `DbrxExperts.forward` looks for them on the module that PEFT has wrapped.
    Experts,
}

/// What is odd about a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// It is transposed, and its shape does not show that, because it has as many inputs as outputs.
    Transposed,
    /// It works on several groups of channels separately, so that it has several matrices.
    Grouped,
}

/// What holds for all architectures, as the basis of every row.
pub const PLAIN: Architecture = Architecture {
    names: &[],
    fused: &[VISION, EXPERTS],
    stacks: &[],
    heads: &[],
    input_first: InputFirst::Nothing,
    convolutions: false,
    odd: &[],
    own_convolutions: &[],
    refused: None,
    bypassed: &[],
};

pub const QKV: &[&str] = &["q", "k", "v"];

/// The two projections into a gated block.
pub const GATE_UP: &[&str] = &["gate", "up"];

/// Fused queries, keys and values of vision towers, which are the same in all models.
pub const VISION: (&str, Layout) = ("attn.qkv", Layout::Blocks(QKV));

/// Experts whose gate and up projections are one parameter.
pub const EXPERTS: (&str, Layout) = ("experts.gate_up_proj", Layout::Blocks(GATE_UP));

/// Attention of the gated delta rule, with experts in some models.
pub const GATED_DELTA: Architecture = Architecture {
    fused: &[
        VISION,
        ("self_attn.q_proj", Layout::PerHead(&["query", "gate"])),
        ("linear_attn.in_proj_qkvz", Layout::GatedDeltaQkvz),
        ("linear_attn.in_proj_ba", Layout::GatedDeltaBa),
        ("linear_attn.in_proj_qkv", Layout::GatedDeltaQkv),
        EXPERTS,
    ],
    ..PLAIN
};

impl Architecture {
    /// Whether a row says anything about this architecture.
    pub fn has_row(&self) -> bool {
        !self.names.is_empty()
    }

    pub fn stack(&self, name: &str) -> Option<Stack> {
        self.stacks.iter().find(|(ending, _)| ends_with(name, ending)).map(|(_, stack)| *stack)
    }

    /// What is odd about the convolution called `name`, if anything is.
    pub fn odd(&self, name: &str) -> Option<Odd> {
        self.odd.iter().find(|(ending, _)| ends_with_numbers(name, ending)).map(|(_, odd)| *odd)
    }

    /// Whether the module called `name` is a convolution that PEFT cannot adapt.
    pub fn is_own_convolution(&self, name: &str) -> bool {
        self.own_convolutions.iter().any(|ending| ends_with_numbers(name, ending))
    }

    pub fn layout(&self, name: &str) -> Option<Layout> {
        self.fused.iter().find(|(ending, _)| ends_with(name, ending)).map(|(_, layout)| *layout)
    }
}

/// Whether the last segments of `name` are those of `ending`.
fn ends_with(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The same, where `#` in `ending` stands for a number.
fn ends_with_numbers(name: &str, ending: &str) -> bool {
    let mut segments = name.rsplit('.');
    ending.rsplit('.').all(|wanted| {
        segments.next().is_some_and(|segment| if wanted == "#" { number(segment).is_some() } else { segment == wanted })
    })
}
