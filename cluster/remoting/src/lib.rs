//! remoting
