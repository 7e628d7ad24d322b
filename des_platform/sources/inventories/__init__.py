"""S3 inventories: what a bucket holds that is too large to list."""
