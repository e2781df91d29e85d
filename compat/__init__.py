"""The judge: this server beside a real redis-server. See README.md."""
