"""What lies in a kit: programs that need Python 3.9 and nothing else, copied as they are but for their imports."""
