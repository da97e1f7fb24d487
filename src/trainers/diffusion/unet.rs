//! The U-Nets of Stable Diffusion 1.5, 2 and XL.
//!
//! The original model counts blocks, resnets, attentions and samplers of a side in one list; diffusers counts them by block. Within
//! a transformer the names are the same (`make_unet_conversion_map` in `library/sdxl_model_util.py` of sd-scripts).

/// Resnets of each block on the way down; on the way up there is one more.
const RESNETS: usize = 2;

/// Modules of a resnet: original = diffusers.
const RESNET: [(&str, &str); 4] = [
    ("in_layers.2", "conv1"),
    ("out_layers.3", "conv2"),
    ("emb_layers.1", "time_emb_proj"),
    ("skip_connection", "conv_shortcut"),
];

/// Modules outside the blocks.
const OUTSIDE: [(&str, &str); 6] = [
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.2", "conv_out"),
];

/// The original name of a module of diffusers.
pub fn original(name: &str) -> Option<String> {
    if let Some((own, _)) = OUTSIDE.iter().find(|(_, other)| *other == name) {
        return Some((*own).to_owned());
    }
    if let Some(rest) = name.strip_prefix("mid_block.") {
        let (kind, number, within) = numbered(rest)?;
        return match (kind, number) {
            ("resnets", 0 | 1) => Some(format!("middle_block.{}.{}", 2 * number, of_resnet(within)?)),
            ("attentions", 0) => Some(format!("middle_block.1.{within}")),
            _ => None,
        };
    }
    let (side, block, rest) = numbered(name)?;
    let (kind, number, within) = numbered(rest)?;
    let each = RESNETS + 1;
    match (side, kind) {
        ("down_blocks", "resnets") => {
            Some(format!("input_blocks.{}.0.{}", each * block + number + 1, of_resnet(within)?))
        }
        ("down_blocks", "attentions") => Some(format!("input_blocks.{}.1.{within}", each * block + number + 1)),
        ("down_blocks", "downsamplers") if within == "conv" => {
            Some(format!("input_blocks.{}.0.op", each * (block + 1)))
        }
        ("up_blocks", "resnets") => Some(format!("output_blocks.{}.0.{}", each * block + number, of_resnet(within)?)),
        ("up_blocks", "attentions") => Some(format!("output_blocks.{}.1.{within}", each * block + number)),
        // Where the block has no attention the sampler is the second of its part; only the first block of SD 1.5 and 2 is so, and
        // no trainer that has original names trains those.
        ("up_blocks", "upsamplers") if within == "conv" => Some(format!("output_blocks.{}.2.conv", each * block + 2)),
        _ => None,
    }
}

/// The name in diffusers of an original module.
pub fn of_diffusers(name: &str) -> Option<String> {
    if let Some((_, other)) = OUTSIDE.iter().find(|(own, _)| *own == name) {
        return Some((*other).to_owned());
    }
    let (side, place, rest) = numbered(name)?;
    let each = RESNETS + 1;
    if side == "middle_block" {
        return match place {
            0 | 2 => Some(format!("mid_block.resnets.{}.{}", place / 2, in_resnet(rest)?)),
            1 => Some(format!("mid_block.attentions.0.{rest}")),
            _ => None,
        };
    }
    let (part, within) = rest.split_once('.')?;
    match (side, part) {
        ("input_blocks", "0") if within == "op" => {
            place.is_multiple_of(each).then(|| format!("down_blocks.{}.downsamplers.0.conv", place / each - 1))
        }
        ("input_blocks", "0" | "1") => {
            let (block, number) = ((place.checked_sub(1)?) / each, (place - 1) % each);
            Some(format!("down_blocks.{block}.{}", of_part(part, number, within)?))
        }
        ("output_blocks", "1" | "2") if within == "conv" => {
            Some(format!("up_blocks.{}.upsamplers.0.conv", place / each))
        }
        ("output_blocks", "0" | "1") => {
            Some(format!("up_blocks.{}.{}", place / each, of_part(part, place % each, within)?))
        }
        _ => None,
    }
}

/// The resnet or the attention of this number in a block of diffusers.
fn of_part(part: &str, number: usize, within: &str) -> Option<String> {
    match part {
        "0" => Some(format!("resnets.{number}.{}", in_resnet(within)?)),
        _ => Some(format!("attentions.{number}.{within}")),
    }
}

fn of_resnet(within: &str) -> Option<&'static str> {
    RESNET.iter().find(|(_, other)| *other == within).map(|(own, _)| *own)
}

fn in_resnet(within: &str) -> Option<&'static str> {
    RESNET.iter().find(|(own, _)| *own == within).map(|(_, other)| *other)
}

/// A name as its first segment, the number after that, and what follows.
fn numbered(name: &str) -> Option<(&str, usize, &str)> {
    let (first, rest) = name.split_once('.')?;
    let (number, within) = rest.split_once('.')?;
    Some((first, crate::modules::name::number(number)?, within))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_there_and_back() {
        for (own, other) in [
            (
                "input_blocks.4.1.transformer_blocks.0.attn1.to_q",
                "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
            ),
            ("input_blocks.8.1.proj_in", "down_blocks.2.attentions.1.proj_in"),
            ("input_blocks.1.0.in_layers.2", "down_blocks.0.resnets.0.conv1"),
            ("input_blocks.7.0.skip_connection", "down_blocks.2.resnets.0.conv_shortcut"),
            ("input_blocks.3.0.op", "down_blocks.0.downsamplers.0.conv"),
            ("middle_block.1.proj_out", "mid_block.attentions.0.proj_out"),
            ("middle_block.2.emb_layers.1", "mid_block.resnets.1.time_emb_proj"),
            (
                "output_blocks.5.1.transformer_blocks.1.ff.net.2",
                "up_blocks.1.attentions.2.transformer_blocks.1.ff.net.2",
            ),
            ("output_blocks.8.0.out_layers.3", "up_blocks.2.resnets.2.conv2"),
            ("output_blocks.2.2.conv", "up_blocks.0.upsamplers.0.conv"),
            ("label_emb.0.2", "add_embedding.linear_2"),
            ("time_embed.0", "time_embedding.linear_1"),
            ("out.2", "conv_out"),
        ] {
            assert_eq!(original(other).as_deref(), Some(own));
            assert_eq!(of_diffusers(own).as_deref(), Some(other));
        }
        for unknown in [
            "up",
            "down_blocks.0.x.1.y",
            "mid_block.resnets.2.conv1",
            "input_blocks.0.1.x",
            "down_blocks.0.resnets.0.x",
        ] {
            assert_eq!((original(unknown), of_diffusers(unknown)), (None, None), "{unknown}");
        }
    }
}
