"""`des archive`: make, read, prove and mend DES archives, local or on S3, without a platform around them."""
