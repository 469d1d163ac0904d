"""What the server does, free of any protocol: values in, values out."""
