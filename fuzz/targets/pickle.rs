//! One of PyTorch's files: the archive, the pickle in it, and the tensors that it lists.
#![no_main]

use laser_scan::checkpoint::Checkpoint;
use laser_scan_fuzz::InMemory;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    for file in [file.to_vec(), archive(file)] {
        let _ = Checkpoint::open(&InMemory::new(&[("pytorch_model.bin", &file)]));
    }
});

/// The local header of a member `a/data.pkl` that is stored as it is, with `pickle` behind it: what stands at the start of
/// a file of PyTorch's, so that not every input has to find that out.
fn archive(pickle: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"a/data.pkl";
    let length = (pickle.len() as u32).to_le_bytes();
    let mut archive = b"PK\x03\x04\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    archive.extend_from_slice(&length);
    archive.extend_from_slice(&length);
    archive.extend_from_slice(&(NAME.len() as u16).to_le_bytes());
    archive.extend_from_slice(&[0, 0]);
    archive.extend_from_slice(NAME);
    archive.extend_from_slice(pickle);
    archive
}
