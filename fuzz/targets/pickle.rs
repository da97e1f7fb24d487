//! One of PyTorch's files: the archive, the pickle in it, and the tensors that it lists.
#![no_main]

use std::io::{Cursor, Write};

use laser_scan::checkpoint::Checkpoint;
use laser_scan_fuzz::InMemory;
use libfuzzer_sys::fuzz_target;
use zip::write::{SimpleFileOptions, ZipWriter};

fuzz_target!(|file: &[u8]| {
    // Not every input has to find out what an archive is.
    for file in [file.to_vec(), archive(file)] {
        let _ = Checkpoint::open(&InMemory::new(&[("pytorch_model.bin", &file)]));
    }
});

/// An archive of a pickle and a few storages, as PyTorch writes it.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let members: [(&str, &[u8]); 4] =
        [("a/data.pkl", pickle), ("a/byteorder", b"little"), ("a/data/0", &[0; 256]), ("a/data/1", &[0; 64])];
    for (name, content) in members {
        writer.start_file(name, stored).expect("a member begins");
        writer.write_all(content).expect("a member is written");
    }
    writer.finish().expect("an archive is written").into_inner()
}
