import com.teragrep.pth_03.antlr.DPLLexer;
import com.teragrep.pth_03.antlr.DPLParser;
import com.teragrep.pth_03.shaded.org.antlr.v4.runtime.BaseErrorListener;
import com.teragrep.pth_03.shaded.org.antlr.v4.runtime.CharStreams;
import com.teragrep.pth_03.shaded.org.antlr.v4.runtime.CommonTokenStream;
import com.teragrep.pth_03.shaded.org.antlr.v4.runtime.RecognitionException;
import com.teragrep.pth_03.shaded.org.antlr.v4.runtime.Recognizer;
import java.nio.file.Files;
import java.nio.file.Path;

/** For each file: "ok", or the first thing that pth_03 (AGPL, fetched for tests, never shipped) finds wrong in it. */
public class Parse {
  public static void main(String[] files) throws Exception {
    for (String file : files) {
      StringBuilder wrong = new StringBuilder();
      BaseErrorListener listener =
          new BaseErrorListener() {
            @Override
            public void syntaxError(
                Recognizer<?, ?> by, Object at, int line, int column, String message, RecognitionException cause) {
              if (wrong.length() == 0) wrong.append(column).append(": ").append(message.replace('\n', ' '));
            }
          };
      DPLLexer lexer = new DPLLexer(CharStreams.fromString(Files.readString(Path.of(file))));
      DPLParser parser = new DPLParser(new CommonTokenStream(lexer));
      lexer.removeErrorListeners();
      parser.removeErrorListeners();
      lexer.addErrorListener(listener);
      parser.addErrorListener(listener);
      parser.root();
      System.out.println(wrong.length() == 0 ? "ok" : wrong);
    }
  }
}
