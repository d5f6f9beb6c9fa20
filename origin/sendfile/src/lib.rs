//! Zero-copy response bodies for hyper: file ranges sent by sendfile(2).
