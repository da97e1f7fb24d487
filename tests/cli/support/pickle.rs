//! PyTorch's files of pickled tensors, sound and unsound.

use std::io::{Cursor, Write};

use zip::CompressionMethod::Stored;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::support::checkpoint::matrix;

/// `pytorch_model.bin` with this pickle in it, and these storages with their content.
fn with_storages(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, content: &[u8]| {
        writer.start_file(name, SimpleFileOptions::default().compression_method(Stored)).expect("started");
        writer.write_all(content).expect("written");
    };
    add("a/data.pkl", pickle);
    storages.iter().for_each(|(name, content)| add(&format!("a/data/{name}"), content));
    writer.finish().expect("finished").into_inner()
}

/// `pytorch_model.bin` with this pickle in it, and one storage of zeros.
pub fn archive(pickle: &[u8]) -> Vec<u8> {
    with_storages(pickle, &[("0", &[0; 256])])
}

/// A pickled text.
pub fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A pickled dictionary of these keys and values.
pub fn dictionary(entries: &[u8]) -> Vec<u8> {
    [b"\x80\x02}(".as_slice(), entries, b"u."].concat()
}

/// The pickled tensor of this shape and these strides in storage 0, under the name `m.weight`.
pub fn tensor(shape: [i64; 2], strides: [i64; 2]) -> Vec<u8> {
    let number = |number: i64| [b"\x8a\x08".as_slice(), &number.to_le_bytes()].concat();
    let pair = |pair: [i64; 2]| [number(pair[0]), number(pair[1]), b"\x86".to_vec()].concat();
    let storage = [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu"), b"K\x40tQ".to_vec()];
    let parts = [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        storage.concat(),
        b"K\x00".to_vec(),
        pair(shape),
        pair(strides),
    ];
    [text("m.weight"), parts.concat(), b"\x89}tR".to_vec()].concat()
}

/// One of PyTorch's files with tensors of 8 x 8: their names, the storages that they are in, and the types of these.
pub fn pickled(tensors: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut entries = Vec::new();
    for (name, storage, class) in tensors {
        let class = format!("ctorch\n{class}\n").into_bytes();
        entries.extend(text(name));
        entries.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        entries.extend([text("storage"), class, text(storage), text("cpu")].concat());
        // 64 elements, the offset, extents and strides.
        entries.extend(b"K\x40tQK\x00K\x08K\x08\x86K\x08K\x01\x86\x89}tR");
    }
    let mut storages: Vec<&str> = tensors.iter().map(|(_, storage, _)| *storage).collect();
    storages.dedup();
    let matrices = storages.iter().map(|storage| matrix(storage, 8, 8)).collect::<Vec<_>>();
    let storages: Vec<(&str, &[u8])> = matrices.iter().map(|matrix| (&*matrix.name, &*matrix.bytes)).collect();
    with_storages(&dictionary(&entries), &storages)
}
