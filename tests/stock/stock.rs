//! What any Rust program asks of the system: threads, channels, files, time, memory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = (0..4u64)
        .map(|id| {
            let (counts, sender) = (Arc::clone(&counts), sender.clone());
            thread::spawn(move || {
                for i in 0..50u64 {
                    *counts.lock().unwrap().entry(i % 5).or_insert(0) += id + i;
                }
                sender.send(id * id).unwrap();
            })
        })
        .collect();
    drop(sender);
    for thread in threads {
        thread.join().unwrap();
    }
    println!("{:?}", counts.lock().unwrap());
    println!("squares {}", receiver.iter().sum::<u64>());

    let kept: Vec<String> = (0..3000).map(|i| format!("{:x}", i * i)).collect();
    println!("{} {:.6}", kept.concat().len(), (2.0f64).sqrt());

    let mut file = fs::File::create("file").unwrap();
    writeln!(file, "written by rust").unwrap();
    print!("{}", fs::read_to_string("file").unwrap());
    println!("{:?}", fs::File::open("absent").unwrap_err().kind() == ErrorKind::NotFound);

    let begun = Instant::now();
    thread::sleep(Duration::from_millis(5));
    println!("time went by: {}", begun.elapsed() >= Duration::from_millis(5));
    let caught = thread::spawn(|| panic!("on purpose")).join();
    println!("a thread's panic is an error: {}", caught.is_err());
}
